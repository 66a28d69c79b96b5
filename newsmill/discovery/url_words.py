"""Words in addresses that lead to lists, forms and services, in the languages of the sites we looked at. Data, no code."""

from __future__ import annotations

# ruff: noqa: SIM905 - these are word lists; as lists of quoted strings nobody would read or extend them

# Anywhere in a path: what follows is a list of articles, not an article.
LISTS = frozenset(
    """
    tag tags topic topics thema themen theme themes tema temas etiqueta etiquetas etichetta sujet sujets mot-cle keyword keywords author
    authors autor autoren autores auteur auteurs autore autori byline bylines profile profiles user users redaktion verfasser category
    categories kategorie kategorien categorie categoria categorias rubrik rubriken search suche buscar busca recherche ricerca zoeken
    sok haku find calendar kalender calendario calendrier feed feeds rss atom sitemap sitemaps
    """.split()
)

# Anywhere in a path: a form, a shop, a service, the publisher about itself.
FORMS = frozenset(
    """
    login log-in signin sign-in signup sign-up register registration registrieren anmelden logout account accounts konto mein-konto
    my-account settings password subscribe subscription subscriptions subscriber abo abos abonnement abonnements abonnieren suscripcion
    assinatura shop store cart checkout warenkorb donate spenden membership gift gifts coupons gutscheine codici-sconto jobs careers
    karriere stellenmarkt classifieds kleinanzeigen contact contact-us kontakt contacto contatti about-us ueber-uns uber-uns ueberuns
    impressum imprint terms terms-of-service terms-of-use terms-and-conditions termsandconditions agb nutzungsbedingungen privacy
    privacy-policy privacypolicy datenschutz datenschutzerklaerung cookies cookie-policy cookie-settings disclaimer advertise
    advertising mediadaten mediakit feedback wp-admin wp-login.php wp-content wp-json wp-includes cdn-cgi api static assets cgi-bin
    embed widget widgets mailto redirect goto click ads adserver epaper e-paper e-edition apps install accessibility sharer print
    """.split()
)

# A list or a service when nothing that looks like an article follows: "/archive/" but not "/archive/2014/04/plato-to-plumbers/361373/".
LISTS_BY_THEMSELVES = frozenset(
    """
    archive archives archiv archivo archivio section sections channel channels results columnist columnists
    contributor contributors journalist journalists members member people staff team newsletter newsletters podcast podcasts about legal
    faq help hilfe support press presse weather wetter meteo horoscope horoscopes horoskop tv-programm tvprogramm games spiele puzzles
    crossword crosswords quiz live video videos gallery galleries photos fotos bilder audio by label labels
    """.split()
)

# The segment before an article's own name or number.
STORY = frozenset(
    "article articles artikel articolo articulo articulos artigo story stories news-story nota noticia noticias blog blogs post".split()
)

# The first label of host names that serve no articles.
SERVICE_HOSTS = frozenset(
    """
    account accounts abo abos ads advertise advertising api app apps auth careers cdn classifieds community coupons discountcode
    download epaper forum forums games giftcards help idp jobs karriere kontakt konto login mail media membership my mein newsletter
    newsletters profile puzzles register search shop sso static store subscribe subscription subscriptions subscriber support tickets
    trauer wetter
    """.split()
)
