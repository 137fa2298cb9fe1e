"""The Gradio page: its layout, the components that load our scripts, and the scripts themselves."""
