"""Schedule: having the machine start the recorder, by cron, a systemd timer or Windows' Task Scheduler.

Owns when it is to be started and how each of them wants that written. Read `schedule` first.
"""
