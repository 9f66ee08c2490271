"""`segdata` and `python -m segdata`."""


def main() -> None:
    """The command as a process of its own: signals end it without a traceback, at any moment."""
    from segdata import interruption

    try:
        interruption.listen()
        from segdata.cli import main as command

        command()
    except KeyboardInterrupt as error:  # before the command had begun
        raise SystemExit(interruption.exit_code(error)) from None
    finally:
        interruption.ignore()  # there is nothing left to interrupt


if __name__ == "__main__":  # spawned workers import this module and must not start again
    main()
