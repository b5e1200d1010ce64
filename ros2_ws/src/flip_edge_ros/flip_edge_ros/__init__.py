"""The ROS 2 side of flip_edge: a thin lifecycle node around :class:`flip_edge.SelfCheck`."""
