"""The application: the workflow, what joins it to the server and to jobs, and one folder for each layer."""
