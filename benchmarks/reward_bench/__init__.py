"""Best of 4 on RewardBench 2: backward inference beside judges on the same model, and both under attack."""
