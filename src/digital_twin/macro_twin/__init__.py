"""What is happening: the state of a community, estimated from the meters that have reported, with error bars."""
