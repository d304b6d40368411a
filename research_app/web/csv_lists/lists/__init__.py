"""Lists that go out as CSV, a module each (research_app/web/csv_lists/csv_list.py)."""
