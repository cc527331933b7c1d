"""An AMQP 1.0 server: what a Service Bus client needs, from the octets up."""
