"""The short name of a site, which becomes part of the version of a model that was made there."""

SITE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.]{0,31}$"  # what may follow the `+` of a version; 32 characters at most
SITE_RULE = "up to 32 letters, digits and dots, the first a letter or digit"
