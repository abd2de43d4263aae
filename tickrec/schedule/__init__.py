"""Schedule: having the machine start the recorder, by cron, a systemd timer or Windows' Task Scheduler.

Owns when it is to be started (`starts`), how a line of cron, a unit or a task is written (`notation`), and putting
lines into the crontab (`crontab`). Read `schedule` first.
"""
