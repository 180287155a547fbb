"""Mean-field control of swarms: local kernel rules, features of a swarm's distribution, the swarm and its mean-field
decision process as worlds, and ways to carry a plan out. After decentralised partially observable mean-field control
(Cui, Hauck, Fabian and Koeppl, ICLR 2024, arXiv 2307.06175).
"""
