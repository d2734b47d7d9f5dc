"""Services: checking those that were declared, finding those that were not, and saying how they are (contract D).

targets     what a check is aimed at, and from where it is made
health      from the results of checks to a status, purely
board       what is known at this moment, kept in memory
checker     the loop that makes the checks
performer   one check, from here or, by fromnode, from the node
findings    from what a node says to the services found there, strictly
discoverer  the loop that looks at the nodes
"""
