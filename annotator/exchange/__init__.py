"""What comes in and goes out: images, masks, tags, exports, the demo project."""
