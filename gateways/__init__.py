"""Live order gateways, one module an exchange, found by the entry points of group `mlthon.gateways`.

None is shipped yet: orders go to the embedded exchange (`mlthon.exchange`), which has the same face.
"""
