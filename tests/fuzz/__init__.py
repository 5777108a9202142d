"""Fuzzing of everything that reads what a stranger sent. By hand, as long as you like; CI runs both for a little while.

./dev fuzz parsers --seconds 3600     coverage-guided (atheris) on the parsers
./dev fuzz servers --seconds 3600     mutated bytes over raw sockets on a gateway's HTTP and gRPC ports
"""
