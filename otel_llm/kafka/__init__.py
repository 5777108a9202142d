"""What the Kafka exporter and the Kafka receiver have in common; on librdkafka, by the package confluent-kafka.

client.py     how brokers are reached, and as whom: configuration to librdkafka's properties
problems.py   what a broker or the way to it says, and which setting it is about
offsets.py    how far a partition is done with
"""
