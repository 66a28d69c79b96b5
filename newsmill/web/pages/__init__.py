"""The web pages: rendered on the server, complete without scripts, in English and German. Start reading at rendering.py.

Each page is a module with its routes and the values of its template. Markup is in templates/, style in static/, texts in catalogues/.
"""
