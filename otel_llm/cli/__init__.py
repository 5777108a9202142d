"""The command line. A command is a module with `configure(parser)` and `run(options)`, imported when it is asked for."""
