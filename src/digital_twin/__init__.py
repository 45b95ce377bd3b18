"""The digital twin that energy communities run on."""
