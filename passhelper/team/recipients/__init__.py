"""Lists of recipients: written, signed, compared with what was accepted, and changed."""
