"""Whole requests in, whole spans out: every recorded emitter through every codec."""
