"""Images whose header is told anew: shown as it says, or a film from now on."""
