"""Schedule: having the machine start the recorder, by cron, a systemd timer or Windows' Task Scheduler.

Owns when it is to be started (`starts`), the line of cron and the user's crontab (`crontab`), the units of systemd
(`systemd`) and the task of Windows (`task_scheduler`). Read `schedule` first.
"""
