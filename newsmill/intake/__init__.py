"""What enters the store without a crawl: submitted URLs, WARC files, items of Scrapy, and pages that are extracted again."""
