"""Error cascades as contagion on the graph of messages: how they spread, how risky a graph is, how to fit both."""
