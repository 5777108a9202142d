"""What stands behind the judge processor: the queue, the workers, and ways to ask a judge."""
