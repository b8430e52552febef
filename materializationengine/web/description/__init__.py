"""The description of the API: an OpenAPI document made of the routes themselves, and a page that shows it offline."""
