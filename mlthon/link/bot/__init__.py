"""The bot's side of the link: what runs with a bot, in its own process or under virtual time.

    child     the process of a bot: the socket, its reader and its writer
    runtime   `BotRuntime`: loads a file, constructs its class, calls it; a `BotFace` to the host
    mailbox   what waits for the bot: quotes conflated, trades bounded, all else kept
    source    a bot file: read, mended, checked, watched for changes (`reload`)
    link      `Link`, the base class of bots; calls: exchange calls as messages
    cron, http, logs, redis   what else the module `profitview` offers; `module` puts it together

Time, threads and locks are the standard library's, looked up when they are needed: under virtual time the same code
runs on what stands in for them.
"""
