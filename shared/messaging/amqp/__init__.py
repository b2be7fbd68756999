"""The bus on RabbitMQ: the only home of aio_pika."""

from shared.messaging.amqp.bus import AmqpBus
from shared.messaging.amqp.declare import Names

__all__ = ["AmqpBus", "Names"]
