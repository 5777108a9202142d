"""Frameworks: the emitter that makes their spans is switched on, and only what none of them does is hooked."""
