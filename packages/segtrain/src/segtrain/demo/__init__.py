"""A local web page that predicts photos: the net's answers, the page, and its server."""
