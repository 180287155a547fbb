"""Attribution methods: each gives blame for every step of an incident; one decorator registers a new one."""
