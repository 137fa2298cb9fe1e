"""Tests of how good models are: held out, judged, calibrated, compared."""
