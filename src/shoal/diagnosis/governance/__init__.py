"""Governance of messages: claims, where they come from, and a layer that holds back what is not proven."""
