"""Schedule: having the machine start the recorder, by cron, a systemd timer or Windows' Task Scheduler.

Owns when it is to be started (`starts`, and `time_fields` as those of a line), the line of cron and the user's crontab
(`crontab`), the units of systemd (`systemd`), the task of Windows (`task_scheduler`), and what is printed of them
(`printout`). Read `schedule` first.
"""
