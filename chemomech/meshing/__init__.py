"""From a described domain to one tagged, named, distributed mesh."""
