"""What goes over the wire: frames, arrays, the messages that come in and those that go out."""
