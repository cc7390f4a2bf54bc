"""The jail of the media process: what code that has taken over a decoder may still do, which is next to nothing.

`order` says what an operation is handed, `lock` closes the process in, `platform` what this machine can do of it; a
layer is one module. Linux only; docs/decisions/0029-the-jail.md.
"""
