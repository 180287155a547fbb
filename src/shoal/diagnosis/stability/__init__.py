"""Whether a team's behaviour drifts: twelve measured dimensions, an index per window, alarms, a simulator and cures.

After the Agent Stability Index (arXiv 2601.04170), whose own figures are simulated or projected.
"""
