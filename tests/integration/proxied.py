"""A stack whose servers stand behind proxies that can misbehave."""
from proxy import Proxy

from penstock_ops.ports import HOST
from stack import BUILD, Stack


class ProxiedStack(Stack):
    def write_conf(self) -> None:
        self.proxies = {name: Proxy(BUILD, server.port)
                        for name, server in (("redis", self.redis), ("postgres", self.postgres), ("mail", self.mail))}
        port = {name: proxy.port for name, proxy in self.proxies.items()}
        self.settings = {"redis.url": f"redis://{HOST}:{port['redis']}", "mail.url": f"smtp://{HOST}:{port['mail']}",
                         "postgres.url": f"postgresql://{HOST}:{port['postgres']}/penstock", **self.settings}
        super().write_conf()

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            for proxy in getattr(self, "proxies", {}).values():
                proxy.close()
