"""What comes in and goes out: images, masks, tags, exports, examples."""
