"""What happens after a verdict, and what is written about it.

Use it through `alerts.py`, which names what there is to use. In here: `guard` takes the steps in their order;
`incident` (with `claim` and `disk`) keeps what was seen; `lock` locks, and `away` has it lock when nobody is in sight;
`sound` speaks and sounds the alarm; `location` asks where this computer is; `reporter` mails the owner what `message`
says, by `delivery`, with the `password`; `settings` and `settings_file` are alerts.toml; `trial` tries each part;
`log_file` is the log.

Nothing is imported from here by its name, for a start must not wait for what only an incident needs.
"""
