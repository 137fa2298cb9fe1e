"""Segment Anything: SAM and MobileSAM by `segment_anything`; SAM 2.1 and EdgeTAM by `transformers`."""
