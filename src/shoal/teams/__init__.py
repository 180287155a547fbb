"""Language-model teams: protocols, routing, topology, message passing."""
