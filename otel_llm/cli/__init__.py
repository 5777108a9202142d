"""The command line. Each command is a module with `configure(parser)` and `run(options)`, imported when needed."""
