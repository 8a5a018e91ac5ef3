"""How long our servers keep a connection on which nothing is asked.

Whoever is in front, the routing proxy or Caddy, asks again on connections that it has kept. A
server that ends one at that very moment has lost a form that somebody sent: it must be the one in
front that ends it. The routing proxy never does; JupyterHub and Jupyter keep them for an hour.
"""

KEEP_ALIVE_S = 3600
