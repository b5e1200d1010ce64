"""Tests over real rclpy: the node runs as a process of its own, the test is another participant on DDS."""
