"""Run the node with `python -m flip_edge_ros`."""

import sys

from flip_edge_ros.main import main

if __name__ == "__main__":
    sys.exit(main())
