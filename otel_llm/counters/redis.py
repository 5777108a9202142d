"""Counters in Redis: a batch is one script, so one trip and one moment.

All keys of a store carry one hash tag: the script needs them together, wherever a proxy puts them, and they are few. A
cluster is not spoken to in its own protocol. The script does no arithmetic with counters (Lua's numbers are doubles,
exact to 9e15): INCRBY does, and values go out as texts. Leases are compared as doubles, exact up to nine million units
of a currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from otel_llm.budget.batch import Answer, Batch
from otel_llm.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import redis

_SCHEMES: Final = ("redis", "rediss", "unix")
_WRITER_SECONDS: Final = 7 * 86_400

# KEYS: the writer, the counters (those with a delta first), the pools.
_SCRIPT: Final = """
local batch = cjson.decode(ARGV[1])
local writer = redis.call('HMGET', KEYS[1], 'sequence', 'reply')
if writer[1] == batch.sequence then return writer[2] end

for i, delta in ipairs(batch.deltas) do
  redis.call('INCRBY', KEYS[i + 1], delta[1])
  redis.call('EXPIREAT', KEYS[i + 1], delta[2])
end
local values = {}
for i = 1, batch.counters do
  values[i] = redis.call('GET', KEYS[i + 1]) or '0'
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local granted = {}
for i, wish in ipairs(batch.wishes) do
  local pool = KEYS[1 + batch.counters + i]
  local left = tonumber(wish.limit)
  for _, place in ipairs(wish.spent) do left = left - tonumber(values[place]) end
  local leases = redis.call('HGETALL', pool)
  for j = 1, #leases, 2 do
    local amount, expires = string.match(leases[j + 1], '^(%d+) (%d+)$')
    if tonumber(expires) <= now then
      redis.call('HDEL', pool, leases[j])
    elseif leases[j] ~= batch.writer then
      left = left - tonumber(amount)
    end
  end
  local amount = math.max(math.min(tonumber(wish.want), left), tonumber(wish.floor), 0)
  granted[i] = string.format('%.0f', amount)
  redis.call('HSET', pool, batch.writer, granted[i] .. ' ' .. string.format('%.0f', now + batch.lease_ms))
  redis.call('PEXPIRE', pool, batch.lease_ms * 2)
end

local reply = table.concat(values, ' ') .. ';' .. table.concat(granted, ' ')
-- A batch that writes nothing may be repeated, and leaves no trace of its writer.
if #batch.deltas > 0 then
  redis.call('HSET', KEYS[1], 'sequence', batch.sequence, 'reply', reply)
  redis.call('EXPIRE', KEYS[1], batch.writer_seconds)
end
return reply
"""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and who we are there.

    Attributes:
        url: `redis://host:port/database`, `rediss://` with TLS, `unix:///path`; without credentials.
        username, password: None for none.
        ca_file: who signed the server's certificate; None for those that the system trusts.
        key_prefix: what all keys begin with.
        timeout_seconds: how long to wait to connect, and for an answer.
    """

    url: str
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    key_prefix: str = "otel_llm"
    timeout_seconds: float = 1.0

    def check(self, path: str) -> None:
        """See whether it can be one.

        Raises:
            ConfigError: it cannot; `path` is the setting's.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES or not (parts.hostname or parts.path):
            raise ConfigError([f"{path}.url: expected redis://host:port/database, rediss://… or unix:///path"])
        if parts.username is not None or parts.password is not None:
            raise ConfigError([f"{path}.url: expected no credentials; use {path}.username and {path}.password"])

    @property
    def place(self) -> str:
        """It, for messages."""
        return f"Redis at {self.url}"


class RedisCounters:
    """The server. Connects when it is first used.

    Args:
        address: where it is.

    Raises:
        ConfigError: the package `redis` is not installed.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.place = address.place
        self._prefix = f"{{{address.key_prefix}}}:"
        self._client = _client(address)
        self._script = self._client.register_script(_SCRIPT)

    def apply(self, batch: Batch) -> Answer:
        """Write a batch and read, in one trip.

        Raises:
            StoreError: the server cannot be reached, is too slow, or refuses.
        """
        import redis  # noqa: PLC0415 - only where it is used

        counters = batch.keys
        keys = [f"writer:{batch.writer}", *counters, *(wish.pool for wish in batch.wishes)]
        try:
            reply = self._script(keys=[self._prefix + key for key in keys], args=[_encode(batch, counters)])
        except redis.RedisError as error:
            raise StoreError(f"{self.place}: {type(error).__name__}: {error}") from error
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror or type(error).__name__}") from error
        values, granted = str(reply).split(";")
        return Answer(
            dict(zip(counters, map(int, values.split()), strict=True)),
            dict(zip((wish.pool for wish in batch.wishes), map(int, granted.split()), strict=True)),
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _encode(batch: Batch, counters: tuple[str, ...]) -> bytes:
    places = {key: place for place, key in enumerate(counters, 1)}
    return msgspec.json.encode(
        {
            "writer": batch.writer,
            "sequence": str(batch.sequence),
            # As texts: Lua would make doubles of them.
            "deltas": [(str(delta), batch.expires[key]) for key, delta in batch.deltas.items()],
            "counters": len(counters),
            "wishes": [
                {
                    "want": str(wish.want),
                    "floor": str(wish.floor),
                    "limit": str(wish.limit),
                    "spent": [places[key] for key in wish.spent],
                }
                for wish in batch.wishes
            ],
            "lease_ms": batch.lease_seconds * 1000,
            "writer_seconds": _WRITER_SECONDS,
        }
    )


def _client(address: RedisAddress) -> redis.Redis:
    try:
        import redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
        from redis.retry import Retry  # noqa: PLC0415 - as above
    except ImportError:
        raise ConfigError(
            ["Redis needs the package redis, which is not installed; pip install 'otel-llm[redis]'"]
        ) from None
    options: dict[str, object] = {"ssl_ca_certs": address.ca_file} if address.url.startswith("rediss:") else {}
    return redis.Redis.from_url(
        address.url,
        username=address.username,
        password=address.password,
        socket_timeout=address.timeout_seconds,
        socket_connect_timeout=address.timeout_seconds,
        decode_responses=True,
        max_connections=1,
        # The keeper tries again, with the same batch.
        retry=Retry(NoBackoff(), 0),
        **options,
    )
