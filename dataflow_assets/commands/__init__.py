"""The commands, a module for each group of them: options, printing, exit statuses.

What does not belong here: what a command does (`flow`, `search`, `serving`, `command_run`), and how errors end (`cli`). A module
imports what a command needs inside the command, so that each one starts without waiting for the others.
"""
