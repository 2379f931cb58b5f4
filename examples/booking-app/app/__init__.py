"""A booking business as a web application: the sample app that Headroom is measured with."""
