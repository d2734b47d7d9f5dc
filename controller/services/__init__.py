"""Services: checking those that were declared, finding those that were not, and saying how they are (contract D).

targets     what a check is aimed at, and from where it is made
health      from the results of checks to a status, purely
board       what is known at this moment, kept in memory
checker     the loop that makes the checks
"""
