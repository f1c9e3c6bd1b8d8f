"""Room for many open files: a folder of a thousand checkpoints is an ordinary folder."""

import logging

log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Raise this process's limit of open files to what the system allows it."""
    try:
        import resource
    except ImportError:  # no such limit where there is no such module (Windows)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wish = 1 << 16 if hard == resource.RLIM_INFINITY else hard
    if soft < wish:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wish, hard))
        except (ValueError, OSError) as problem:
            log.info("the limit of open files stays at %d: %s", soft, problem)
