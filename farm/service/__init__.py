"""The farm as a service: HTTP in front of one controller, for programs and for the farm's page."""
